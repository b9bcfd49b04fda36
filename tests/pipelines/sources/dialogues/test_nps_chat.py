"""NPS Chat: sessions of chat rooms, the system's posts counted out, names unmasked of their session."""

import zipfile
from xml.etree import ElementTree

from pipelines.sources.dialogues.nps_chat import NpsChatReader

SESSION = """<Session><Posts>
<Post class="System" user="10-19-20sUser7">JOIN<terminals><t pos="X" word="JOIN"/></terminals></Post>
<Post class="Greet" user="10-19-20sUser7">hi 10-19-20sUser59 &amp; all<terminals/></Post>
<Post class="System" user="10-19-20sUser59">.ACTION waves at 10-19-20sUser7.<terminals/></Post>
</Posts></Session>"""


def test_session(write):
    (record,) = NpsChatReader().read(write(SESSION.encode()))
    assert record.outcome.texts[0].text == "User7: hi User59 & all\n* User59 waves at User7."
    assert record.outcome.notes == ("system_line",)


def test_real_sessions(corpus, tally):
    path = corpus / "conversations/nps_chat.zip"
    read = list(NpsChatReader().read(str(path)))
    assert tally(read) == {"used": 15, "other_member": 2}
    with zipfile.ZipFile(path) as archive:
        posts = list(ElementTree.fromstring(archive.read("nps_chat/11-08-teens_706posts.xml")).iter("Post"))
    (record,) = [record for record in read if record.native_key == "11-08-teens_706posts"]
    system = [p for p in posts if p.get("class") == "System" and not p.text.startswith(".ACTION ")]
    assert len(record.outcome.notes) == len(system)
    assert record.outcome.texts[0].text.count("\n") + 1 == len([p for p in posts if p.text.strip()]) - len(system)


def test_broken_sessions(write, tally):
    assert tally(NpsChatReader().read(write(SESSION[:-30].encode()))) == {"!bad_xml": 1}
    assert tally(NpsChatReader().read(write(b"<Session/>"))) == {"!bad_fields": 1}
    assert tally(NpsChatReader({"max_record_bytes": 99}).read(write(SESSION.encode()))) == {"too_large": 1}
    joined = SESSION.replace("Greet", "System").replace(".ACTION", "ACTION")
    assert tally(NpsChatReader().read(write(joined.encode()))) == {"no_text": 1}
