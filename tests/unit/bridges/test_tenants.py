"""Whose kickoffs are, where what is passed names nobody."""

from typing import Any

import pytest

from masterflow.bridges.crewai.tenants import Tenants, tenant_here
from masterflow.domain import InputInvalid


@pytest.mark.parametrize("given", ["ann", {"client_account_id": "1"}, 7])
def test_what_names_no_tenant_is_refused_in_a_sentence(given: Any):
    with pytest.raises(InputInvalid, match="names no tenant"):
        Tenants(given)
    with pytest.raises(InputInvalid, match="names no tenant"), tenant_here(given):
        pass
