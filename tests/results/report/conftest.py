import pytest


@pytest.fixture(autouse=True)
def _short_plotly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave plotly's 4.8 MB out of every page except in tests that request them."""
    monkeypatch.setattr("tlsearch.results.report.html._plotly", lambda: "var Plotly;")
