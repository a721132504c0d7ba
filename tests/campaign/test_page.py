"""The table of docs/reliability.md is that of the record."""

import json


def test_the_page_shows_the_record(record_and_page):
    record, shown, table = record_and_page
    assert shown == table(json.loads(record))
