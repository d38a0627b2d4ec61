# test_tasks.py
from tasks import score_servers


def test_scoring_tells_its_phases(flow_reports):
    score_servers("run-7", CLIENT, ENGAGEMENT, "ann", ["one", "two"])
    assert flow_reports.phases == {"collect": "completed", "check": "completed", "score": "completed"}
    assert flow_reports.facts("score:completed")["scored"] == 2
    assert flow_reports.statuses[-1] == "completed"


CLIENT = "00000000-0000-0000-0000-000000000001"
ENGAGEMENT = "00000000-0000-0000-0000-000000000002"
