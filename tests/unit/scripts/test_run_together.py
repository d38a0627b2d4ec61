import os

import pytest


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="there is one process")
def test_one_process_of_several_runs_a_file_whose_tests_share_what_is_set_up(request):
    assert request.node.nodeid.endswith("@test_run_together")
