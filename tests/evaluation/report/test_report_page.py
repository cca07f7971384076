"""The page in a real browser, and what it must say."""

from __future__ import annotations

import json
import re

import pytest

from monai_hybridsynth.evaluation.thresholds import Thresholds

LONG = [f"a rather long name of a laboratory value, column number {place:02d}" for place in range(70)]
DRAWN = """[...document.querySelectorAll('.plot')].filter((plot) => {
  const svg = plot.querySelector('svg.main-svg');
  return svg && svg.clientHeight > 50 && plot.querySelector(
    '.points path, .lines path, .bars path, .heatmaplayer image, .heatmaplayer rect, .errorbar path');
}).map((plot) => plot.id)"""
# Elements whose right edge sticks out, except inside what scrolls by itself.
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_every_figure_is_drawn_without_an_error_or_a_request(browser, both, width, scheme):
    browser.open(both, width=width, scheme=scheme)
    ids = re.findall(r'class="plot" id="([^"]+)"', both.read_text(encoding="utf-8"))
    assert len(ids) >= 20
    assert browser.evaluate(DRAWN) == ids
    assert browser.errors() == []
    folder = both.parent.as_uri()
    assert [url for url in browser.requests() if not url.startswith(folder + "/")] == []
    assert browser.evaluate(SIDEWAYS) == 0
    dark = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(int(part) for part in re.findall(r"\d+", dark)[:3]) < 200) == (scheme == "dark")


def test_the_scheme_changes_while_the_page_is_open(browser, both):
    browser.open(both, scheme="light")
    ink = "getComputedStyle(document.querySelector('.plot .xtick text')).fill"
    before = browser.evaluate(ink)
    browser.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    browser.wait(f"{ink} !== '{before}'")
    assert browser.errors() == []


def test_seventy_long_columns_fit_on_a_phone_and_absent_drawings_leave_no_hole(browser, draw, tmp_path):
    page = draw(tmp_path / "report", "honest", columns=LONG, drawings={"honest": {}})
    browser.open(page, width=360)
    assert browser.evaluate(SIDEWAYS) == 0
    assert browser.errors() == []
    assert browser.evaluate("document.querySelectorAll('#agreement-forward .ytick text').length") == 71
    drawn = browser.evaluate(DRAWN)
    assert "agreement-reverse" in drawn
    assert not {"spectrum", "tsne", "membership-roc"} & set(drawn)


def test_the_print_is_light_and_complete(browser, both):
    browser.open(both, scheme="dark")
    assert browser.pdf().startswith(b"%PDF")
    assert browser.errors() == []
    browser.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert browser.evaluate("[...document.querySelectorAll('details')].every((part) => part.open)")
    assert browser.evaluate(
        "[...document.querySelectorAll('.plot .main-svg')].every((plot) => plot.clientWidth <= 700)"
    )
    shown = min(150, len(json_of(both, "lines")["rows"]))
    assert browser.evaluate("document.body.dataset.lines") == str(shown), "thousands of lines are no print"
    assert browser.pdf().count(b"/Type /Page\n") < 60
    browser.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not browser.evaluate("document.documentElement.classList.contains('printing')")


def json_of(page, element):
    text = page.read_text(encoding="utf-8")
    return json.loads(text.split(f'id="{element}">')[1].split("</script>")[0])


def test_all_numbers_are_sorted_filtered_and_opened_by_keyboard(browser, both):
    browser.open(both)
    total = len(json_of(both, "lines")["rows"])
    assert browser.evaluate("document.getElementById('count').textContent").startswith(f"{total} of {total}")
    browser.evaluate("filter.value = 'membership outlier'; filter.dispatchEvent(new Event('input'))")
    assert browser.evaluate("document.body.dataset.lines") == "6"
    browser.evaluate("filter.value = ''; absent.checked = true; absent.dispatchEvent(new Event('input'))")
    assert browser.evaluate("document.querySelector('#numbers tbody').textContent").count("Not estimable") == 8
    browser.evaluate("absent.checked = false; absent.dispatchEvent(new Event('input'))")
    click = "[...document.querySelectorAll('#numbers th button')].find((b) => b.textContent === 'Value').click()"
    browser.evaluate(click)
    values = "[...document.querySelectorAll('#numbers tbody tr')].map((row) => row.cells[5].textContent)"
    shown = [float(text.replace("−", "-")) for text in browser.evaluate(values) if text != "–"]
    assert shown == sorted(shown)
    assert browser.evaluate("document.querySelector('#numbers th[aria-sort=ascending]').textContent") == "Value"
    browser.evaluate("document.querySelector('#numbers button.open').focus()")
    for kind in ("keyDown", "keyUp"):
        browser.send(
            "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r"
        )
    assert "made up for a test" in browser.evaluate("document.querySelector('tr.detail').textContent")


def test_a_reader_without_eyes_or_mouse_finds_the_way(browser, both):
    browser.open(both)
    rules = {
        "landmarks": "['main', 'nav', 'header', 'footer'].every((name) => document.querySelector(name))",
        "one h1": "document.querySelectorAll('h1').length === 1",
        "language": "document.documentElement.lang === 'en'",
        "alt texts": "[...document.images].every((image) => image.alt.length > 5)",
        "plots are named": "[...document.querySelectorAll('.plot')].every((plot) => plot.ariaLabel.length > 20)",
        "captions": "[...document.querySelectorAll('table')].every((table) => table.caption || table.ariaLabel)",
        "links lead somewhere": "[...document.querySelectorAll('nav a')].every((a) => document.querySelector(a.hash))",
        "unique ids": "new Set([...document.querySelectorAll('body [id]:not(svg *)')].map((e) => e.id)).size"
        " === document.querySelectorAll('body [id]:not(svg *)').length",
        "what scrolls is reached": "[...document.querySelectorAll('.wide, pre')].every((part) => part.tabIndex === 0)",
        "lights have words": "[...document.querySelectorAll('.light')].every((light) => light.textContent.trim())",
    }
    assert {name: browser.evaluate(rule) for name, rule in rules.items()} == dict.fromkeys(rules, True)
    browser.send("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert browser.evaluate("document.activeElement.className") == "skip"
    assert browser.evaluate("getComputedStyle(document.activeElement).position") == "static"


def test_two_cohorts_stand_side_by_side(both):
    text = both.read_text(encoding="utf-8")
    table = text.split('class="compare"')[1].split("</table>")[0]
    assert table.index("honest") < table.index("unmatched")
    assert table.count("<tr") > 8
    figures = json_of(both, "figures")
    names = {trace.get("name") for figure in figures.values() for trace in figure["data"]}
    assert {"honest", "unmatched", "honest linear", "unmatched kernel"} <= names


def test_the_page_says_that_it_stays_and_holds_no_patient_identifier(both, sides):
    text = both.read_text(encoding="utf-8")
    assert "stays in the house" in text
    assert len(text) < 400_000
    assert not any(patient in text for patient in sides["train"].groups)
    assert "</script>" not in both.read_text(encoding="utf-8").split('id="lines">')[1].split("</script>")[0]
    assert "a &lt;b&gt;test&lt;/b&gt;" in text


def test_own_limits_are_named_and_kept_beside_the_page(draw, tmp_path):
    mine = Thresholds.of({"privacy": {"copies_excess_red": 0.02}})
    page = draw(tmp_path / "report", "honest", thresholds=mine, options={"features": "folder of mine", "encoder": None})
    text = page.read_text(encoding="utf-8")
    assert (
        "house&#39;s own for privacy.copies_excess_red" in text or "house's own for privacy.copies_excess_red" in text
    )
    assert "--features &#39;folder of mine&#39;" in text
    assert "--encoder" not in text
    stored = Thresholds.load(page.parent / "thresholds.json")
    assert stored["privacy", "copies_excess_red"] == 0.02
    assert (page.parent / "data_card.md").is_file()
