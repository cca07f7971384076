#!/bin/bash
# Everything behind the supplementation sections of RESULTS.md: cohorts, generators, replicas and studies, in
# runs/supplementation. DATA holds the real cohorts; runs/nih_gaussian/prepared is there after `make bench-runs`.
# What is finished is kept: the same command goes on.
set -euo pipefail

DATA=${DATA:-../shared/data}
RUN=${RUN:-.venv/bin/python}
OUT=runs/supplementation
BUNDLE=bundles/cxr_conditional_ddpm
SMALL=(--channels "[16,32,64]" --norm_num_groups 8)

bundle() { # config files, more arguments
    local configs=$1
    shift
    "$RUN" -m monai.bundle run --bundle_root $BUNDLE --config_file "$configs" "$@"
}

train() { # site, epochs, decay of the average
    bundle "['$BUNDLE/configs/train.json', '$BUNDLE/configs/pixels_32.json']" "${SMALL[@]}" \
        --dataset_dir $OUT/phantom/"$1"/train --output_dir $OUT/gen/"$1" --validation_share 0.2 --amp True \
        --batch_size 16 --learning_rate 7e-4 --max_epochs "$2" --average_decay "$3" --validation_interval 2 \
        --early_stop_patience 20
}

draw() { # training cohort, share of its patients that watched the training, replicas, guidance, output, more arguments
    local cohort=$1 share=$2 replicas=$3 guidance=$4 out=$5
    shift 5
    bundle "$BUNDLE/configs/inference.json" --dataset_dir "$cohort" --replicas "$replicas" --guidance_scale "$guidance" \
        --rows "\$[int(row) for row in (~monai_hybridsynth.workflows.validation_rows(@cohort, validation_share=$share, seed=0)).nonzero()[0]]" \
        --on_unlearned replace --num_inference_steps 10 --batch_size 128 --synthetic_dir "$out" "$@"
}

study() { # overlays of the study's config
    local configs="'$BUNDLE/configs/supplementation.json'" name
    for name in "$@"; do
        configs+=", 'benchmarks/supplementation_$name.json'"
    done
    "$RUN" -m monai.bundle run run --bundle_root $BUNDLE --config_file "[$configs]"
}

phantom_draw() { # site, replicas, guidance, name
    draw $OUT/phantom/"$1"/train 0.2 "$2" "$3" $OUT/synthetic/"$4" "${SMALL[@]}" --models_dir $OUT/gen/"$1"/models
}

"$RUN" benchmarks/supplementation_phantom.py --out $OUT/phantom
"$RUN" benchmarks/supplementation_nih.py --data "$DATA" --cohort runs/nih_gaussian/prepared --out $OUT/nih
train north 120 0.995
train south 60 0.99
phantom_draw north 10 1.0 north
phantom_draw south 10 1.0 south
for guidance in 0 2 4; do
    phantom_draw north 3 $guidance.0 north_guidance_$guidance
done
draw runs/nih_gaussian/prepared/train 0.1 10 1.0 $OUT/synthetic/nih
study phantom
study phantom guidance
study nih
