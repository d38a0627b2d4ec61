"""Makes the rows of one flow: `python -m scripts.seed FLOW CLIENT ENGAGEMENT USER`."""

import sys

from repository.models import ChildFlow, MasterFlow, session


def seed(flow_id: str, client: str, engagement: str, user: str) -> None:
    """Make a master row and a child row."""
    whose = {"flow_id": flow_id, "client_account_id": client, "engagement_id": engagement, "user_id": user}
    with session() as db, db.begin():
        db.add(MasterFlow(**whose, flow_type="discovery"))
        db.add(ChildFlow(**whose, flow_name="seeded"))


if __name__ == "__main__":
    seed(*sys.argv[1:])
    print("seeded")
