"""Users, organizations, tokens and connectors of the example platform."""

from __future__ import annotations

import json

from django.contrib.auth import get_user_model
from django.test import TestCase

from apps.accounts.models import ApiToken, Membership, Organization
from apps.connectors.models import MASK, Connector
from etl_telemetry.django.models import AuditRow

User = get_user_model()


class Access(TestCase):
    def setUp(self) -> None:
        self.ua = Organization.objects.create(code="UA", name="United")
        self.aa = Organization.objects.create(code="AA", name="American")
        self.ann = User.objects.create_user("ann")
        Membership.objects.create(user=self.ann, organization=self.ua)

    def test_member_sees_own_organizations_only(self) -> None:
        """A member sees the organizations that it belongs to, a superuser sees all."""
        root = User.objects.create_superuser("root")
        assert list(self.ann.visible_organizations()) == [self.ua]
        assert list(root.visible_organizations()) == [self.aa, self.ua]

    def test_role_decides_who_may_operate(self) -> None:
        """A viewer may not start runs; an operator may, in its own organization."""
        assert not self.ann.may_operate(self.ua)
        Membership.objects.update(role=Membership.Role.OPERATOR)
        assert self.ann.may_operate(self.ua)
        assert not self.ann.may_operate(self.aa)

    def test_only_a_tokens_digest_is_kept(self) -> None:
        """A token's key can be used, but not be read from the database."""
        key = ApiToken.issue(self.ann, "script")
        assert ApiToken.user_of(key) == self.ann
        assert key not in str(ApiToken.objects.values().get())

    def test_token_of_an_inactive_user_or_of_nobody_is_refused(self) -> None:
        """A key stops to work with its user, and a second one of the same name replaces it."""
        old = ApiToken.issue(self.ann, "script")
        new = ApiToken.issue(self.ann, "script")
        assert (ApiToken.user_of(old), ApiToken.user_of(new)) == (None, self.ann)
        User.objects.update(is_active=False)
        assert ApiToken.user_of(new) is None


class Credentials(TestCase):
    def setUp(self) -> None:
        organization = Organization.objects.create(code="UA", name="United")
        self.connector = Connector.objects.create(
            organization=organization, name="api", kind="http", credentials={"token": "s3cret"}
        )
        self.user = User.objects.create_superuser("root")
        self.client.force_login(self.user)
        self.address = f"/admin/connectors/connector/{self.connector.pk}/change/"

    def post(self, credentials: str) -> None:
        answer = self.client.post(
            self.address,
            {
                "organization": self.connector.organization_id,
                "name": "api",
                "kind": "http",
                "options": "{}",
                "entered_credentials": credentials,
                "is_active": "on",
            },
        )
        assert answer.status_code == 302, answer.content
        self.connector.refresh_from_db()

    def test_admin_never_shows_a_credential(self) -> None:
        """The form shows the credential's name and a mask."""
        page = self.client.get(self.address).content.decode()
        assert "s3cret" not in page
        assert MASK in page

    def test_masked_value_keeps_the_credential(self) -> None:
        """Saving the form as it is changes no credential; a new value does; none removes it."""
        self.post(f'{{"token": "{MASK}"}}')
        assert self.connector.credentials == {"token": "s3cret"}
        self.post('{"token": "new"}')
        assert self.connector.credentials == {"token": "new"}
        self.post("{}")
        assert self.connector.credentials == {}

    def test_saving_a_connector_is_audited_without_values(self) -> None:
        """The audit trail says which connector was changed, and no credential."""
        self.post('{"token": "new"}')
        row = AuditRow.objects.get(name="connector_updated")
        assert (row.resource_id, row.actor) == (str(self.connector.pk), str(self.user.pk))
        told = json.loads(row.details)
        assert [told[word]["credentials"] for word in ("before", "after")] == ["REDACTED"] * 2
        assert row.organization == self.connector.organization.code
        assert "s3cret" not in str(vars(row))
