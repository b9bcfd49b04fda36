"""What a reader's browser makes of a report."""

import pytest

SECTIONS = [
    "verdict",
    "comparison",
    "savings",
    "fine-tuning",
    "corpus",
    "scores",
    "mixture",
    "curves",
    "experts",
    "bill",
    "provenance",
]


def test_every_section_is_shown_and_nothing_is_asked_for_or_complained_of(page, report_file):
    page.open(report_file)
    for section in SECTIONS:
        text, height = page.evaluate(
            f"(e => [e.innerText, e.getBoundingClientRect().height])(document.getElementById('{section}'))"
        )
        assert len(text) > 100, section
        assert height > 100, section
    assert page.requests() == [report_file.resolve().as_uri()]
    assert page.complaints() == []


@pytest.mark.parametrize("width", [390, 800, 1280])
def test_the_page_is_as_wide_as_the_screen(page, report_file, width):
    page.open(report_file, width)
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("width", [390, 1280])
def test_no_label_of_a_plot_is_cut_off_by_the_edge_of_the_screen(page, report_file, width):
    page.open(report_file, width)
    labels = page.evaluate(
        "[...document.querySelectorAll('.axis span, .x-axis span, .y-axis span, .sides span, .figures')].map(e => {"
        "const r = e.getBoundingClientRect(); return [e.textContent, r.left, r.right] })"
    )
    assert len(labels) > 20
    assert [label for label, left, right in labels if left < 0 or right > width] == []


def test_on_paper_the_page_fits_and_what_needs_a_screen_is_left_out(page, report_file):
    page.open(report_file, 718)  # A4 with margins of a centimetre, in CSS pixels
    page.call("Emulation.setEmulatedMedia", media="print")
    assert page.evaluate("document.documentElement.scrollWidth") == 718
    shown = "[...document.querySelectorAll('nav, .search')].filter(e => e.offsetHeight).length"
    assert page.evaluate(shown) == 0
    visible = "[...document.querySelectorAll('table')].filter(e => e.checkVisibility())"
    wide = f"{visible}.filter(e => e.getBoundingClientRect().right > 719)"
    assert page.evaluate(f"{wide}.map(e => e.tHead.innerText)") == []


def test_dark_and_light_differ_and_are_legible(page, report_file):
    page.open(report_file)
    colors = (
        "(s => [s.color, s.backgroundColor].map(c => c.match(/\\d+/g).map(Number)))(getComputedStyle(document.body))"
    )
    light_ink, light_paper = page.evaluate(colors)
    page.prefer_dark()
    dark_ink, dark_paper = page.evaluate(colors)
    assert sum(light_paper) - sum(light_ink) > 500
    assert sum(dark_ink) - sum(dark_paper) > 500


def test_a_click_on_a_heading_sorts_by_number_and_again_turns_it_round(page, report_file):
    page.open(report_file)
    column = "[...document.querySelectorAll('#corpus table')[1].tBodies[0].rows].map(r => r.cells[2].innerText)"
    click = "document.querySelectorAll('#corpus table')[1].tHead.rows[0].cells[2].querySelector('button').click()"
    page.evaluate(click)
    assert page.evaluate(column) == ["9", "17", "45", "50", "61", "117", "130"]
    page.evaluate(click)
    assert page.evaluate(column) == ["130", "117", "61", "50", "45", "17", "9"]


def test_what_stands_under_the_pointer_tells_its_figures(page, report_file):
    page.open(report_file)
    titles = page.evaluate("[...document.querySelectorAll('.track, .bars i, .mix i')].map(e => e.title)")
    assert len(titles) > 30
    assert all(any(letter.isdigit() for letter in title) or "not distinguishable" in title for title in titles)


def test_the_pages_to_read_can_be_searched(page, report_file):
    page.open(report_file)
    shown = "[...document.querySelectorAll('#pages > *')].filter(e => e.offsetHeight).length"
    assert page.evaluate(shown) == 4
    page.evaluate("(s => {s.value = 'BREAD'; s.dispatchEvent(new Event('input'))})(document.querySelector('.search'))")
    assert page.evaluate(shown) == 1


def test_a_hostile_page_of_the_corpus_is_text_and_nothing_else(page, report_file, study):
    page.open(report_file)
    assert page.evaluate("document.title") == study["title"]
    assert page.evaluate("document.scripts.length") == 1
    assert page.evaluate("document.images.length") == 0
    assert page.evaluate("getComputedStyle(document.body).display") == "block"
    texts = page.evaluate("[...document.querySelectorAll('#pages .text')].map(e => e.textContent)")
    assert any('<script>document.title = "broken"</script>' in text for text in texts)


def test_a_script_or_picture_that_gets_into_the_page_neither_runs_nor_loads(page, report_file):
    page.open(report_file)
    page.evaluate(
        """new Promise(done => {
            const script = document.createElement("script");
            script.textContent = "document.title = 'broken'";
            const picture = new Image();
            picture.onerror = () => done();
            picture.src = "http://192.0.2.1/x.png";
            document.body.append(script, picture);
        })"""
    )
    assert page.evaluate("document.title") != "broken"
    assert any("Content Security Policy" in str(complaint) for complaint in page.complaints())
