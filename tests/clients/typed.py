"""`clientapi-pbs`: a strictly typed client, generated from the reference's own description of its API.

Every reading call that succeeds against the reference must succeed here: its models refuse each value of another type.
The calls that fail against the reference too, mostly in the package's own models, are tried and counted. Then it
creates, changes and removes one of everything, with values read back by plain requests."""

import inspect

import clientapi_pbs as package
from clientapi_pbs.exceptions import ApiException
from pydantic import ValidationError

import cycles
from scene import ADMIN, GOLDEN

# Values for required arguments by their names.
BY_NAME = {
    "node": "localhost",
    "store": "golden",
    "backup_type": "host",
    "backup_id": "web1",
    "userid": ADMIN,
    "token_name": "main",
    "timeframe": "hour",
    "cf": "AVERAGE",
    "rrd_timeframe": "hour",
}
# The same for one API; these go first, for some names mean several things.
BY_API = {
    ("ConfigDatastoreApi", "name"): "golden",
    ("ConfigRemoteApi", "name"): "offsite",
    ("ConfigRemoteApi", "store"): "vault",
    ("ConfigSyncApi", "id"): "pull-job",
    ("AdminSyncApi", "id"): "pull-job",
}


def client(scene):
    """Returns the package's client with the administrator's API token."""
    server = scene.pbs
    configuration = package.Configuration(host=f"https://127.0.0.1:{server.port}/api2/json")
    configuration.verify_ssl = False
    made = package.ApiClient(configuration)
    made.default_headers["Authorization"] = f"PBSAPIToken={ADMIN}!main:{server.secrets['main']}"
    return made


def enum_or_text(annotation, value):
    """Returns the member of an enumeration for a word."""
    for candidate in [annotation, *getattr(annotation, "__args__", ())]:
        if inspect.isclass(candidate) and hasattr(candidate, "__members__"):
            return candidate(value)
    return value


def arguments(api_name, method, scene):
    """Returns the required arguments of a reading call."""
    values = {}
    for name, parameter in inspect.signature(method).parameters.items():
        if parameter.default is not inspect.Parameter.empty:
            continue
        if name == "backup_time":
            value = scene.pbs.get("/admin/datastore/golden/snapshots", **{"backup-type": "host", "backup-id": "web1"})
            values[name] = value[0]["backup-time"]
            continue
        value = BY_API.get((api_name, name), BY_NAME.get(name, "nothing"))
        values[name] = enum_or_text(parameter.annotation, value)
    return values


def short(error):
    """Returns what matters of an error: the server's words, or which member of an answer does not fit."""
    text = getattr(error, "body", None) or str(error)
    return " ".join(text.split())[:400]


def baseline():
    """Returns `API.method` and whether it succeeds against the reference."""
    for line in (GOLDEN / "typed-client-baseline.txt").read_text().splitlines():
        verdict, call, *_ = line.split()
        yield call, verdict == "ok"


def check_baseline(scene):
    """Makes every call of the baseline."""
    made = client(scene)
    calls = list(baseline())
    failures, better = [], []
    for call, expected in calls:
        api_name, method_name = call.split(".")
        method = getattr(getattr(package, api_name)(made), method_name)
        try:
            method(**arguments(api_name, method, scene))
            if not expected:
                better.append(call)
        except (ApiException, ValidationError, ValueError) as error:
            if expected:
                failures.append(f"{call}: {type(error).__name__} {short(error)}")
    print(f"typed client: {len(calls)} calls, better than the reference: {len(better)}")
    assert not failures, "calls that work against the reference do not work here:\n" + "\n".join(failures)


# The package's names of what a path holds: API class and noun of its methods.
NOUNS = [
    ("/config/remote", "ConfigRemoteApi", "remote"),
    ("/config/sync", "ConfigSyncApi", "sync"),
    ("/config/encryption-keys", "ConfigEncryptionKeysApi", "encryption_keys"),
    ("/config/datastore", "ConfigDatastoreApi", "datastore"),
    ("/access/users/{userid}/token", "AccessUsersApi", "token"),
    ("/access/users", "AccessUsersApi", "users"),
    ("/access/acl", "AccessAclApi", "acl"),
    ("/admin/datastore/{store}/namespace", "AdminDatastoreApi", "namespace"),
]


def split(path):
    """Returns API class, noun, and the values of the path's variables in order."""
    parts = path.strip("/").split("/")
    for template, api, noun in NOUNS:
        wanted = template.strip("/").split("/")
        if len(parts) < len(wanted):
            continue
        if all(w.startswith("{") or w == p for w, p in zip(wanted, parts)):
            names = [w.strip("{}") for w in wanted if w.startswith("{")]
            values = [p for w, p in zip(wanted, parts) if w.startswith("{")]
            return api, noun, dict(zip(names, values)), parts[len(wanted):]
    raise KeyError(path)


def request_of(model, values):
    """Returns a request. Its texts are not checked: the package's patterns use classes that Python does not know, and so
    refuse nearly every text. Answers are checked in full."""
    names = {field.alias or name: name for name, field in model.model_fields.items()}
    unknown = values.keys() - names.keys()
    assert not unknown, f"the package knows no parameters {unknown}"
    return model.model_construct(**{names[name]: value for name, value in values.items()})


class Typed:
    """The steps of `cycles` with the package's own models."""

    def __init__(self, api_client):
        self.client = api_client

    def call(self, verb, path, values):
        api_name, noun, variables, last = split(path)
        api = getattr(package, api_name)(self.client)
        if verb == "create" and noun == "encryption_keys" and last:
            noun = "config_encryption_keys_by_id"
        method = getattr(api, f"{verb}_{noun}")
        given = dict(variables)
        parameters = [name for name in inspect.signature(method).parameters if not name.startswith("_")]
        request_name = next((name for name in parameters if name.endswith("_request")), None)
        free = [name for name in parameters if name != request_name and name not in given]
        if last:
            given[next(name for name in free if name in ("name", "id", "userid", "token_name"))] = last[0]
        if request_name:
            annotation = inspect.signature(method).parameters[request_name].annotation
            models = [annotation, *getattr(annotation, "__args__", ())]
            model = next(m for m in models if hasattr(m, "from_dict"))
            if values or verb == "create" and noun != "config_encryption_keys_by_id":
                given[request_name] = request_of(model, values)
        else:
            given.update({name.replace("-", "_"): value for name, value in values.items()})
        return method(**given).data

    def create(self, path, values):
        return self.call("create", path, values)

    def update(self, path, values):
        return self.call("update", path, values)

    def remove(self, path, values):
        return self.call("delete", path, values)


def check_cycles(scene):
    cycles.run(Typed(client(scene)), scene, "typed")
    print("typed client: all steps succeed")
