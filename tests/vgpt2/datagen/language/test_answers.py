from vgpt2.datagen.language import answers
from vgpt2.sql.extract import claims, sql_blocks


def test_a_verdict_names_the_nearest_real_name_first():
    refusal = answers.verdict("APHX", real=False, nearest="APHD", about="AP hold detail")
    assert refusal == "Nearest name: APHD (AP hold detail). APHX does not exist."
    assert answers.verdict("APHD", real=True, nearest="APHD") == "Nearest name: APHD. APHD exists."
    assert {(c.kind, c.name) for c in claims(refusal)} == {("use_instead", "APHD"), ("not_exists", "APHX")}


def test_the_forms_are_recognised_again():
    assert answers.NEAREST.findall(answers.verdict("a.b", real=False, nearest="orders.customer_id")) == ["orders.customer_id"]
    found = answers.ABSENT.search(answers.nothing_holds("APTH", "hourly rate"))
    assert found is not None
    assert found.groupdict() == {"table": "APTH", "what": "hourly rate"}
    assert sql_blocks(answers.fenced("SELECT APTH.APRef FROM APTH")) == ["SELECT APTH.APRef FROM APTH"]


def test_a_column_is_named_with_its_table():
    assert answers.holds("APTH.APRef", "vendor invoice number") == "APTH.APRef holds the vendor invoice number."
