"""The report of a study, opened in a real browser where there is one."""

import pytest

from tests.report.browser import Page, find_browser
from tests.report.made_study import make_study
from trainer.ablation.report.data import study_report
from trainer.ablation.report.page import write_page


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="session")
def study(store):
    return make_study(store)


@pytest.fixture(scope="session")
def report_file(store, study):
    path = store / "report.html"
    write_page(study_report(study, str(store)), str(path))
    return path


@pytest.fixture
def page():
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    page = Page(program)
    yield page
    page.close()
