"""One of everything, created, changed and removed: the steps that each client takes in its own way.

A client offers `create(path, values)`, `update(path, values)` and `remove(path, values)`; path variables are filled in.
What became of a step is read with plain requests, so that a client's own idea of an answer does not matter."""

KEY_PATH = "/config/encryption-keys"


def only(items, **wanted):
    """Returns the one item with these members."""
    found = [item for item in items if all(item.get(name) == value for name, value in wanted.items())]
    assert len(found) == 1, f"{len(found)} items with {wanted}: {items}"
    return found[0]


def absent(items, **unwanted):
    assert not [i for i in items if all(i.get(name) == value for name, value in unwanted.items())], items


def expect(value, **wanted):
    for name, expected in wanted.items():
        assert value.get(name) == expected, f"{name} is {value.get(name)!r} instead of {expected!r}"


def run(client, scene, tag):
    """Takes all steps; `tag` keeps the names of clients apart."""
    pbs, other = scene.pbs, scene.other
    get = pbs.get

    remote, job, key = f"remote-{tag}", f"job-{tag}", f"key-{tag}"
    secret = other.secrets["main"]
    client.create("/config/remote", {
        "name": remote, "host": "127.0.0.1", "port": other.port, "auth-id": "admin@pbs!main", "password": secret,
        "fingerprint": other.fingerprint, "comment": "first",
    })
    expect(get(f"/config/remote/{remote}"), comment="first", port=other.port, host="127.0.0.1")
    client.update(f"/config/remote/{remote}", {"comment": "zweiter Standort", "use-node-proxy": False})
    expect(get(f"/config/remote/{remote}"), comment="zweiter Standort")
    client.update(f"/config/remote/{remote}", {"delete": ["comment"]})
    assert "comment" not in get(f"/config/remote/{remote}")
    assert [s["store"] for s in get(f"/config/remote/{remote}/scan")] == ["vault"]

    client.create(KEY_PATH, {"id": key})
    client.create("/config/sync", {
        "id": job, "store": "golden", "remote": remote, "remote-store": "vault", "ns": "copies", "schedule": "daily",
        "group-filter": ["type:vm", "exclude:group:vm/100"], "rate-in": "20 MiB", "remove-vanished": True,
    })
    expect(get(f"/config/sync/{job}"), **{"group-filter": ["type:vm", "exclude:group:vm/100"], "rate-in": "20 MiB"})
    client.update(f"/config/sync/{job}", {"max-depth": 2, "remove-vanished": False, "delete": ["schedule", "rate-in"]})
    changed = get(f"/config/sync/{job}")
    expect(changed, **{"max-depth": 2, "remove-vanished": False})
    assert not {"schedule", "rate-in"} & changed.keys(), changed
    client.update(f"/config/sync/{job}", {"associated-key": [key]})
    expect(get(f"/config/sync/{job}"), **{"associated-key": [key]})
    client.remove(f"/config/sync/{job}", {})
    absent(get("/config/sync"), id=job)
    client.create(f"{KEY_PATH}/{key}", {})
    assert "archived-at" in only(get(KEY_PATH, **{"include-archived": 1}), id=key)
    client.remove(f"{KEY_PATH}/{key}", {})
    absent(get(KEY_PATH, **{"include-archived": 1}), id=key)
    client.remove(f"/config/remote/{remote}", {})
    absent(get("/config/remote"), name=remote)

    user = f"user-{tag}@pbs"
    client.create("/access/users", {"userid": user, "password": "long enough", "comment": "x", "expire": 0})
    client.update(f"/access/users/{user}", {"firstname": "Ada", "enable": False})
    expect(get(f"/access/users/{user}"), firstname="Ada", enable=False)
    client.create(f"/access/users/{user}/token/t1", {"comment": "for the tests"})
    client.update(f"/access/users/{user}/token/t1", {"comment": "changed", "regenerate": True})
    expect(get(f"/access/users/{user}/token/t1"), tokenid=f"{user}!t1", comment="changed")
    entry = {"path": "/datastore/golden", "role": "DatastoreReader", "auth-id": f"{user}!t1", "propagate": True}
    client.update("/access/acl", entry)
    only(get("/access/acl"), ugid=f"{user}!t1", roleid="DatastoreReader", path="/datastore/golden")
    client.update("/access/acl", {**entry, "delete": True})
    absent(get("/access/acl"), ugid=f"{user}!t1")
    client.remove(f"/access/users/{user}/token/t1", {})
    client.remove(f"/access/users/{user}", {})
    absent(get("/access/users"), userid=user)

    store = f"store-{tag}"
    upid = client.create("/config/datastore", {"name": store, "path": str(scene.folder / "stores" / store)})
    assert pbs.wait(upid) == "OK"
    client.update(f"/config/datastore/{store}", {"comment": "for the tests", "verify-new": True})
    expect(get(f"/config/datastore/{store}"), comment="for the tests", **{"verify-new": True})
    assert client.create(f"/admin/datastore/{store}/namespace", {"name": "a"}) == "a"
    assert client.create(f"/admin/datastore/{store}/namespace", {"name": "b", "parent": "a"}) == "a/b"
    assert [n["ns"] for n in get(f"/admin/datastore/{store}/namespace")] == ["", "a", "a/b"]
    client.remove(f"/admin/datastore/{store}/namespace", {"ns": "a"})
    assert [n["ns"] for n in get(f"/admin/datastore/{store}/namespace")] == [""]
    upid = client.remove(f"/config/datastore/{store}", {"destroy-data": True})
    assert pbs.wait(upid) == "OK"
    absent(get("/config/datastore"), name=store)
    assert not (scene.folder / "stores" / store).exists()
