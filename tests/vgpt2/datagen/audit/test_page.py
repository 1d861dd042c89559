import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from vgpt2.datagen.audit import page
from vgpt2.datagen.audit.gate import audit

CORE = Path(__file__).parents[4] / "data" / "catalogues" / "vista-core"
HOSTILE = "</pre></style><script>alert(1)</script><img src=x onerror=alert(2)>\u202e\u0007 &lt; \" ' `x` InvNum"


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.open = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "br", "rect", "line", "circle"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The page of a set whose every text is hostile, names of files, categories and templates too."""
    path = tmp_path_factory.mktemp("page") / "set & <b>.jsonl"
    sql = f"```sql\nSELECT APTH.InvNum FROM APTH -- {HOSTILE}\n```\n{HOSTILE}"
    about = {"template": f"exists_memory-{HOSTILE}", "category": f"{HOSTILE}\ud800", "fault": HOSTILE}
    rows = [{"instruction": f"{HOSTILE} {n}", "chosen": f"{sql}{n}", "rejected": HOSTILE, **about} for n in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return page.render(audit([path], catalogue=CORE))


def test_no_text_of_a_row_becomes_markup(shown):
    tags = Tags()
    tags.feed(shown)
    assert not tags.open
    assert not {"script", "img", "b", "a", "iframe", "link"} & set(tags.tags)
    assert not [name for name, _ in tags.attributes if name.startswith("on") or name in ("src", "href", "style")]
    assert shown.count("<style>") == shown.count("</style>") == 1
    assert not re.search("[\u202e\u0007\ud800]", shown)
    shown.encode("utf-8")


def test_the_page_needs_and_allows_nothing_from_outside(shown):
    assert "default-src 'none'; style-src 'sha256-" in shown
    assert not re.search(r"https?://", shown)


def test_the_offending_rows_stand_there_with_their_names_underlined(shown):
    assert "unreal names in rewarded answers: 30" in shown
    assert "SELECT APTH.<u>InvNum</u> FROM APTH" in shown
    assert "and 20 more" in shown
    assert "30 of 30 rewarded answers (100.0%) in set &amp; &lt;b&gt;.jsonl name a table or column that is not real" in shown


def test_lengths_balances_and_coverage_have_a_text_beside_the_drawing(shown):
    assert re.search(r'aria-label="60 sequences by length: p50 [\d,]+, p90', shown)
    assert re.search(r'aria-label="\d+%, wanted 45% to 55%"', shown)
    assert re.search(r'<th scope="row">AP</th><td class="n">1 of 15</td>', shown)


def test_a_clean_set_says_so(tmp_path):
    path = tmp_path / "good.jsonl"
    path.write_text(json.dumps({"instruction": "What is APTH?", "output": "APTH exists."}) + "\n", encoding="utf-8")
    assert "<h1>good.jsonl passes the audit</h1>" in page.render(audit([path], catalogue=CORE))
