"""Stopgap store with the agreed interface (plain, synchronous)."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from blake3 import blake3

from nbrewind.errors import MissingObject, StoreError
from nbrewind.model import Commit, Record, Run, TaskEntry

T = TypeVar("T")


class Store:
    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "objects").mkdir(parents=True, exist_ok=True)
        (path / ".gitignore").write_text("*\n")
        self.lock = threading.RLock()
        self.db = sqlite3.connect(path / "catalog.sqlite", check_same_thread=False, timeout=30)
        self.db.execute("pragma journal_mode=wal")
        self.db.execute("pragma synchronous=normal")
        for t, c in [
            ("records", "id text primary key, key text, n integer"),
            ("commits", "id text primary key, key text, n integer"),
            ("runs", "id text primary key, key text, n integer"),
            ("tasks", "id text, key text, n integer"),
        ]:
            self.db.execute(f"create table if not exists {t} ({c}, json blob)")
            self.db.execute(f"create index if not exists {t}_key on {t}(key)")
        self.db.commit()
        self.failures: list[str] = []
        self.cache: dict[Any, str] = {}
        self.n = 0

    @classmethod
    def open(cls, path: Any, *, create: bool = True, readonly: bool = False) -> Store:
        try:
            return cls(Path(path))
        except OSError as e:
            raise StoreError(f"store {path}: {e}") from e

    def _f(self, d: str) -> Path:
        return self.path / "objects" / d[:2] / d[2:]

    def put(self, data: Any) -> str:
        raw = bytes(data)
        d = str(blake3(raw).hexdigest()[:32])
        f = self._f(d)
        if not f.exists():
            f.parent.mkdir(exist_ok=True)
            tmp = f.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
            tmp.write_bytes(raw)
            os.replace(tmp, f)
        return d

    def get(self, d: str) -> bytes:
        try:
            return self._f(d).read_bytes()
        except OSError as e:
            raise MissingObject(f"object {d}: {e}") from e

    def has(self, d: str) -> bool:
        return self._f(d).exists()

    def put_file(self, path: str) -> str:
        return self.put(Path(path).read_bytes())

    def digest_file(self, path: str) -> str:
        try:
            os.stat(path)
            return str(blake3(Path(path).read_bytes()).hexdigest()[:32])
        except OSError:
            return ""

    def copy_out(self, d: str, path: str, mode: int) -> None:
        data = self.get(d)
        tmp = f"{path}.nbrewind-tmp"
        with open(tmp, "wb") as f:
            f.write(data)
        os.chmod(tmp, mode)
        os.replace(tmp, path)

    def _add(self, t: str, id: str, key: str, obj: Any) -> None:
        with self.lock:
            self.n += 1
            n = self.db.execute(f"select coalesce(max(n),0)+1 from {t}").fetchone()[0]
            if t != "tasks":
                self.db.execute(f"delete from {t} where id=?", (id,))
            self.db.execute(f"insert into {t} values (?,?,?,?)", (id, key, n, msgspec.json.encode(obj)))
            self.db.commit()

    def _get(self, t: str, typ: type[T], where: str, args: tuple[Any, ...], order: str = "n desc") -> list[T]:
        with self.lock:
            rows = self.db.execute(f"select json from {t} where {where} order by {order}", args).fetchall()
        return [msgspec.json.decode(r[0], type=typ) for r in rows]

    def add_record(self, r: Record) -> None:
        self._add("records", r.id, r.source_key, r)

    def records(self, key: str) -> list[Record]:
        return self._get("records", Record, "key=?", (key,))

    def record(self, id: str) -> Record:
        f = self._get("records", Record, "id=?", (id,))
        if not f:
            raise MissingObject(f"record {id}")
        return f[0]

    def forget(self, id: str) -> None:
        with self.lock:
            self.db.execute("update records set key='' where id=?", (id,))
            self.db.commit()

    def start_run(self, r: Run) -> None:
        self._add("runs", r.id, r.notebook, r)

    def update_run(self, r: Run) -> None:
        with self.lock:
            self.db.execute("update runs set json=? where id=?", (msgspec.json.encode(r), r.id))
            self.db.commit()

    def run(self, id: str) -> Run:
        return self._get("runs", Run, "id=?", (id,))[0]

    def runs(self, notebook: str | None = None) -> list[Run]:
        return self._get(
            "runs", Run, "1=1" if notebook is None else "key=?", () if notebook is None else (notebook,)
        )

    def add_commit(self, c: Commit) -> None:
        self._add("commits", c.id, c.run, c)

    def commit(self, id: str) -> Commit:
        f = self._get("commits", Commit, "id=?", (id,))
        if not f:
            raise MissingObject(f"commit {id}")
        return f[0]

    def commits(self, run: str) -> list[Commit]:
        return self._get("commits", Commit, "key=?", (run,), "n")

    def path_to(self, id: str) -> list[Commit]:
        out = []
        while id:
            try:
                c = self.commit(id)
            except MissingObject:
                break
            out.append(c)
            id = c.parent
        return out[::-1]

    def add_task(self, e: TaskEntry) -> None:
        self._add("tasks", e.key, e.key, e)

    def tasks(self, key: str) -> list[TaskEntry]:
        return self._get("tasks", TaskEntry, "key=?", (key,), "n")

    def is_durable(self, id: str) -> bool:
        return True

    def complete(self, r: Record) -> bool:
        return True

    def flush(self, timeout: float | None = None) -> None:
        pass

    def close(self) -> None:
        pass

    def stats(self) -> dict[str, Any]:
        return {}

    def clear(self) -> None:
        pass
