"""The four rules of main content, each on a page that shows it, and the light HTML that they read."""

import pytest

from pipelines.html import extract_page
from pipelines.main_content import BULLET, read_lines

PROSE = "The committee met on Tuesday and decided, after a long debate, to publish what it had found. " * 2
COMMENT = "I was there when they decided it and I can say that it was a very long debate indeed. " * 4


def text_of(body: str, title: str = "The committee meets - The Daily") -> str:
    return extract_page(f"<html><head><title>{title}</title></head><body>{body}</body></html>".encode()).text


def article(inner: str) -> str:
    return f"<article><h1>Committee decides</h1>{inner}</article>"


def paragraphs(count: int = 3) -> str:
    return f"<p>{PROSE}</p>" * count


def test_comments_below_an_article_are_left_out():
    assert "I was there" not in text_of(article(paragraphs()) + f'<div class="comments"><p>{COMMENT}</p></div>')


def test_a_page_of_comments_keeps_them():
    page = f'<div class="post"><p>What did they decide?</p></div><div class="comments"><p>{COMMENT}</p></div>'
    assert "I was there" in text_of(page)


def test_lines_around_the_prose_are_left_out_but_headings_before_it():
    text = text_of(article(f"<p>By a reporter</p>{paragraphs()}<p>Photo: agency</p><h3>Read on</h3><p>More news</p>"))
    assert text.startswith("Committee decides\n\nThe committee met")
    assert text.endswith(PROSE.strip())


def test_short_lines_between_prose_stay():
    assert "\n\nNo.\n\n" in text_of(article(f"{paragraphs()}<p>No.</p>{paragraphs()}"))


@pytest.mark.parametrize("heading", ["The committee meets", "THE COMMITTEE MEETS"])
def test_a_heading_that_repeats_the_title_is_left_out(heading):
    text = text_of(f"<article><h1>{heading}</h1>{paragraphs()}<h2>Committee</h2>{paragraphs()}</article>")
    assert text.startswith("The committee met on")
    assert "\n\nCommittee\n\n" in text  # below the first prose a heading says more than the title


def test_links_are_no_prose():
    links = "".join(
        f"<p><a href=/{n}>Another page that is about something else entirely, number {n}.</a></p>" for n in "12"
    )
    assert text_of(article(paragraphs() + links)).endswith(PROSE.strip())


@pytest.mark.parametrize(
    ("end", "kept"),
    [
        ("<ol><li>Those in favor of it</li><li>Those against it all</li></ol>", BULLET + "Those against it all"),
        ("<pre>x = 1\n  y = 2</pre>", "x = 1\n  y = 2"),
        ("<table><tr><td>Votes in favor</td><td>1,204</td></tr></table>", "Votes in favor\t\t1,204"),
        ("<p>And so they all went home.</p>", "And so they all went home."),
        ("<p>そして彼らは家に帰った。</p>", "そして彼らは家に帰った。"),
    ],
)
def test_lists_code_tables_and_short_sentences_end_an_article_too(end, kept):
    assert text_of(article(paragraphs() + end)).endswith(kept)


def test_a_page_without_prose_keeps_what_there_is():
    rows = "".join(f"<tr><td>{n}</td><td>{n * n}</td></tr>" for n in range(5))
    assert text_of(f"<main><h1>Squares</h1><table>{rows}</table></main>", "Squares").split() == [
        "Squares", *[str(value) for n in range(5) for value in (n, n * n)],
    ]  # fmt: skip


def test_lines_of_light_html():
    lines = list(
        read_lines(
            '<h2>A &lt; B</h2>\n\n<p>One <a href="/u?a&gt;b">two</a><br>\nthree</p>\n<ul>\n  <li>four\n  <ul>\n'
            "    <li>five</li>\n  </ul></li>\n</ul>\n<pre>a &amp;&amp;\n   b</pre>\nc\t\td"
        )
    )
    assert [line.text for line in lines] == [
        "A < B", "", "One two", "three", "  • four", "    • five", "a &&", "   b", "c\t\td",
    ]  # fmt: skip
    assert [line.text for line in lines if line.heading] == ["A < B"]
    assert [line.text for line in lines if line.prose_bytes] == ["a &&", "   b"]


def test_bytes_of_links_do_not_count():
    (line,) = read_lines(f'<p>{PROSE}<a href="x">{PROSE}</a></p>')
    assert line.prose_bytes == len(PROSE + PROSE.rstrip()) - len(PROSE.strip())
