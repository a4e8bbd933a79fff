"""Every place that keeps the master key, held to the same contract; the TPM is the software one, swtpm."""

from __future__ import annotations

import base64
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cenoby.kernel.settings_vault import VaultSettings
from cenoby.protection.vault.key_sources import key_source
from cenoby.protection.vault.key_store import KeyringKeySource
from cenoby.protection.vault.keys import KeySource, MasterKey, VaultError

Open = Callable[[], KeySource]
MADE = ("file", "keyring", "tpm")
GIVEN = ("env", "systemd")


class MemoryKeyring:
    """A key store of the system, for machines that have none: `keyring`'s own interface over a dict."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service_name: str, username: str) -> str | None:
        return self.entries.get((service_name, username))

    def set_password(self, service_name: str, username: str, password: str) -> None:
        self.entries[service_name, username] = password

    def delete_password(self, service_name: str, username: str) -> None:
        del self.entries[service_name, username]


@contextmanager
def software_tpm(folder: Path) -> Iterator[str]:
    """A TPM 2.0 of its own in a process; yields what tpm2-tools call it."""
    for _ in range(20):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))  # tpm2-tools look for the control port there
            except OSError:
                continue
        break
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(
        ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder}", "--server", f"type=tcp,port={port}",
         "--ctrl", f"type=tcp,port={port + 1}", "--flags", "not-need-init,startup-clear"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port + 1), timeout=5).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < until, "swtpm does not listen"
                time.sleep(0.05)
        yield f"swtpm:host=127.0.0.1,port={port}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def tpm(tmp_path: Path, needs: Callable[[str], str]) -> Iterator[str]:
    """This test's TPM."""
    needs("swtpm")
    needs("tpm2_unseal")
    with software_tpm(tmp_path / "tpm") as tcti:
        yield tcti


def text_of(key: MasterKey) -> str:
    return base64.b64encode(key.secret).decode()


@pytest.fixture(params=MADE)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens a place where keys are made, again and again as a new process would."""
    if request.param == "keyring":
        store = MemoryKeyring()
        return lambda: KeyringKeySource(store)
    tcti = request.getfixturevalue("tpm") if request.param == "tpm" else ""
    settings = VaultSettings(key=request.param, tpm=tcti)
    return lambda: key_source(settings, tmp_path, {})


def test_a_place_keeps_changes_and_forgets(made: Open) -> None:
    """Nothing at first; a key that was made is there after a start again; beside a staged one, both are, and either can
    be put in force; what was forgotten is gone, and only that."""
    assert list(made().candidates(None)) == []
    first = made().create()
    assert [key.secret for key in made().candidates(first.id)] == [first.secret]
    for taken in (True, False):
        present = made().candidates(first.id)[0]
        staged = MasterKey.generate()
        made().stage(staged)
        found = {key.id for one in (present.id, staged.id) for key in made().candidates(one)}
        assert found == {present.id, staged.id}
        wanted, other = (staged, present) if taken else (present, staged)
        assert made().settle(wanted, [present, staged]).id == wanted.id
        assert [key.id for key in made().candidates(wanted.id)] == [wanted.id]
        assert other.id not in {key.id for key in made().candidates(other.id)}
        first = wanted
    made().forget([MasterKey.generate().id])
    assert [key.id for key in made().candidates(first.id)] == [first.id]
    made().forget([first.id])
    made().forget([first.id])
    assert list(made().candidates(first.id)) == []


@pytest.mark.parametrize("kind", GIVEN)
def test_a_key_that_is_given(kind: str, tmp_path: Path) -> None:
    """Nothing given says what to do; of two, both may be in force and the first is wanted; it is changed only by who
    gives it; what is no key is refused without repeating it."""
    settings = VaultSettings.model_validate({"key": kind})

    def given(text: str | None) -> KeySource:
        if kind == "env":
            return key_source(settings, tmp_path, {} if text is None else {"CENOBY_MASTER_KEY": text})
        if text is not None:
            (tmp_path / "cenoby-master-key").write_text(text)
        return key_source(settings, tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})

    with pytest.raises(VaultError) as missing:
        given(None).create()
    assert missing.value.code == "vault_key_missing"
    new, old = MasterKey.generate(), MasterKey.generate()
    both = given(f"{text_of(new)},{text_of(old)}\n")
    assert [key.id for key in both.candidates(old.id)] == [new.id, old.id]
    assert both.settle(old, both.candidates(old.id)).id == new.id
    with pytest.raises(VaultError) as fixed:
        both.stage(new)
    assert fixed.value.code == "vault_key_fixed"
    both.forget([new.id, old.id])
    with pytest.raises(VaultError) as invalid:
        given("hunter2-hunter2").candidates(None)
    assert invalid.value.code == "vault_key_invalid" and "hunter2" not in invalid.value.message


def test_the_key_opens_only_on_the_device_that_closed_it(tmp_path: Path, tpm: str) -> None:
    """With the file on another device there is no key, and the file is not touched; the key is in no file."""
    here = key_source(VaultSettings(key="tpm", tpm=tpm), tmp_path, {})
    key = here.create()
    file = tmp_path / "master.tpm"
    assert file.stat().st_mode & 0o777 == 0o600
    content = file.read_bytes()
    assert key.secret not in content and text_of(key).encode() not in content
    with software_tpm(tmp_path / "another") as other:
        with pytest.raises(VaultError) as wrong:
            key_source(VaultSettings(key="tpm", tpm=other), tmp_path, {}).candidates(key.id)
        assert wrong.value.code == "vault_key_wrong"
    assert file.read_bytes() == content
    assert [one.secret for one in here.candidates(key.id)] == [key.secret]
    # As often as one likes: nothing is left in a TPM that has room for three objects.
    for _ in range(3):
        here.candidates(key.id)
    file.chmod(0o644)
    with pytest.raises(VaultError) as exposed:
        here.candidates(key.id)
    assert exposed.value.code == "vault_key_exposed"


def test_a_tpm_that_is_not_there_says_so(tmp_path: Path, needs: Callable[[str], str]) -> None:
    """No TPM, or no tpm2-tools: a refusal with the reason, and no key in a file instead."""
    needs("tpm2_createprimary")
    nowhere = key_source(VaultSettings(key="tpm", tpm="device:/dev/no-such-tpm"), tmp_path, {})
    with pytest.raises(VaultError) as unusable:
        nowhere.create()
    assert unusable.value.code == "vault_key_unusable"
    assert list(tmp_path.iterdir()) == []
