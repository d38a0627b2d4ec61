from masterflow.status.usage import AgentUsage, usage_of


def test_an_agent_of_several_models_is_one_row_with_what_all_of_them_come_to():
    small = {"calls": 2, "input_tokens": 10, "output_tokens": 1, "cost_usd": 0.1, "unpriced_calls": 1}
    big = {"calls": 5, "input_tokens": 30, "output_tokens": 3, "cost_usd": 0.2, "at_least": True}
    untold = {"calls": 9, "input_tokens": 0, "output_tokens": 0, "unpriced_calls": 9}
    row = {
        "budget": None,
        "usage": {"calls": 16},
        "agents_usage": {"Ann": {"small": small, "big": big}, "Bob": {"big": untold}},
    }
    found = usage_of(row)
    assert found is not None
    zeros = {"input_tokens": 0, "output_tokens": 0}
    assert found.agents == [
        AgentUsage(agent="Bob", models=["big"], calls=9, **zeros, cost_usd=None, unpriced_calls=9),
        AgentUsage(
            agent="Ann",
            models=["big", "small"],
            calls=7,
            input_tokens=40,
            output_tokens=4,
            cost_usd=0.3,
            unpriced_calls=1,
            at_least=True,
        ),
    ]
    assert [(one.agent, one.model) for one in found.by_agent] == [
        ("Bob", "big"),
        ("Ann", "big"),
        ("Ann", "small"),
    ]
