"""`proxmoxer`: the common generic client. It sends forms, logs in by password (cookie and CSRF token) or by API token."""

from proxmoxer import ProxmoxAPI

import cycles
from scene import ADMIN, PASSWORD


class Forms:
    """The steps of `cycles` as forms."""

    def __init__(self, api):
        self.api = api

    def resource(self, path):
        return self.api(path)

    def create(self, path, values):
        return self.resource(path).post(**form(values))

    def update(self, path, values):
        return self.resource(path).put(**form(values))

    def remove(self, path, values):
        return self.resource(path).delete(**form(values))


def form(values):
    """Booleans become digits, as the package's documentation has them; it repeats the keys of lists itself."""
    return {name: int(value) if isinstance(value, bool) else value for name, value in values.items()}


def check(scene):
    server = scene.pbs
    place = {"host": "127.0.0.1", "port": server.port, "service": "PBS", "verify_ssl": False}
    by_password = ProxmoxAPI(**place, user=ADMIN, password=PASSWORD)
    by_token = ProxmoxAPI(**place, user=ADMIN, token_name="main", token_value=server.secrets["main"])
    for name, api in [("password", by_password), ("token", by_token)]:
        assert api.version.get()["release"].isdigit()
        assert [store["store"] for store in api.admin.datastore.get()] == ["golden"]
        groups = api.admin.datastore("golden").groups.get()
        assert len(groups) >= 8, groups
        assert api.admin.datastore("golden").snapshots.get(ns="", **{"backup-type": "vm", "backup-id": "100"})
        cycles.run(Forms(api), scene, f"form-{name}")
        print(f"proxmoxer, login by {name}: all steps succeed")
