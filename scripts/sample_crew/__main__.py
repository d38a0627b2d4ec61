"""Runs the flow once: `python -m masterflow.scripts.sample_crew FLOW_ID CLIENT ENGAGEMENT USER`.

The two lines of the bridge fill its row. It needs crewAI, and so an environment that has it, as
`scripts/environment.sh crewai` makes one.
"""

import argparse

from masterflow import FlowContext, flush
from masterflow.bridges.crewai import install
from masterflow.scripts.sample_crew.flow import ServerAssessment
from masterflow.scripts.sample_crew.model import ScriptedModel

_FLUSH_TIMEOUT_S = 60.0


def main() -> int:
    """Return 0 once a worker has confirmed all that the flow reported."""
    parser = argparse.ArgumentParser(prog="python -m masterflow.scripts.sample_crew")
    parser.add_argument("flow_id")
    parser.add_argument("tenant", nargs=3, metavar=("CLIENT", "ENGAGEMENT", "USER"))
    parser.add_argument("--pace-s", type=float, default=0.0, help="what each step of the model takes")
    options = parser.parse_args()
    client, engagement, user = options.tenant
    install(FlowContext(client_account_id=client, engagement_id=engagement, user_id=user))
    ServerAssessment(ScriptedModel.at_pace(options.pace_s)).kickoff(inputs={"id": options.flow_id})
    return 0 if flush(_FLUSH_TIMEOUT_S) else 1


if __name__ == "__main__":
    raise SystemExit(main())
