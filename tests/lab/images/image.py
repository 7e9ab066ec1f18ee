"""Writes one container image into the storage folder of a Docker registry.

image.py STORAGE TREE NAME TAG…   with the image's config as JSON on stdin
"""
import gzip, hashlib, io, json, os, sys, tarfile

storage, tree, name, *tags = sys.argv[1:]
v2 = os.path.join(storage, "docker/registry/v2")
repo = os.path.join(v2, "repositories", name)


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


def blob(data, link):
    digest = hashlib.sha256(data).hexdigest()
    write(f"{v2}/blobs/sha256/{digest[:2]}/{digest}/data", data)
    write(f"{repo}/{link}/sha256/{digest}/link", f"sha256:{digest}".encode())
    return {"size": len(data), "digest": f"sha256:{digest}"}


def plain(info):  # the same tree must give the same layer
    info.mtime, info.uname, info.gname = 0, "", ""
    return info


tar = io.BytesIO()
with tarfile.open(fileobj=tar, mode="w") as t:
    for entry in sorted(os.listdir(tree)):
        t.add(os.path.join(tree, entry), entry, filter=plain)
raw = tar.getvalue()
layer = blob(gzip.compress(raw, 6, mtime=0), "_layers")
config = {
    "architecture": "amd64", "os": "linux", "created": "2024-01-01T00:00:00Z",
    "config": json.load(sys.stdin),
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(raw).hexdigest()]},
    "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "lab"}],
}
docker = "application/vnd.docker"
manifest = {
    "schemaVersion": 2, "mediaType": f"{docker}.distribution.manifest.v2+json",
    "config": {"mediaType": f"{docker}.container.image.v1+json", **blob(json.dumps(config).encode(), "_layers")},
    "layers": [{"mediaType": f"{docker}.image.rootfs.diff.tar.gzip", **layer}],
}
ref = blob(json.dumps(manifest).encode(), "_manifests/revisions")["digest"]
for tag in tags:
    write(f"{repo}/_manifests/tags/{tag}/current/link", ref.encode())
    write(f"{repo}/_manifests/tags/{tag}/index/{ref.replace(':', '/')}/link", ref.encode())
print(f"image: {name}:{tags[0]} {len(raw) >> 20} MB, {layer['size'] >> 20} MB packed", file=sys.stderr)
