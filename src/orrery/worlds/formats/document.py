"""What a file says about a World, whatever its format: all of it, or a part."""

from dataclasses import dataclass, field, replace

from orrery.errors import UsageError
from orrery.wire.signature import PUBLIC_KEY_BYTES, SigningKey
from orrery.wire.world import UNSIGNED, Root, World, WorldType
from orrery.worlds.formats.notes import OF_ITS_TOOL, Note, NoteCode
from orrery.worlds.pitfalls import Pitfall, PitfallCode, warnings

_MISREAD = {PitfallCode.NIL_ENDPOINT, PitfallCode.ZERO_ADDRESS, PitfallCode.PORT_ZERO}


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What one file says. What a format cannot say, or the file does not, is None.

    Attributes:
        format: the name of the format, see the registry.
        type: planet or moon.
        id: of the World.
        timestamp_ms: of the World; None where a tool would take the clock.
        updates_must_be_signed_by: the public key for the next revision, 64 bytes.
        roots: in the order in which the format's own tool would write them.
        signature: 96 bytes, when the file is a signed World.
        dictionary: what a moon carries behind its roots.
        signing_public: the public key that is to sign, 64 bytes.
        signing_key: the pair that is to sign. Secret; it stands in no representation.
        key_files: names of the files with the pair that signs and with the one that is named.
        notes: what was noticed in reading, and what the format's own tool would do unasked.
    """

    format: str
    type: WorldType | None = None
    id: int | None = None
    timestamp_ms: int | None = None
    updates_must_be_signed_by: bytes | None = None
    roots: tuple[Root, ...] | None = None
    signature: bytes | None = None
    dictionary: bytes = b""
    signing_public: bytes | None = None
    signing_key: SigningKey | None = field(default=None, repr=False)
    key_files: tuple[str, str] | None = None
    notes: tuple[Note, ...] = ()

    @classmethod
    def of_world(cls, world: World, name: str, notes: tuple[Note, ...] = ()) -> "Document":
        """The document that is a signed World."""
        return cls(
            format=name,
            type=world.type,
            id=world.id,
            timestamp_ms=world.timestamp_ms,
            updates_must_be_signed_by=world.updates_must_be_signed_by,
            roots=world.roots,
            signature=world.signature,
            dictionary=world.dictionary,
            notes=notes,
        )

    @property
    def world(self) -> World | None:
        """The signed World, or None when the file is none."""
        return None if self.signature is None else self.draft()

    @property
    def holds_secret(self) -> bool:
        """Whether the file gives away a private signing key."""
        return self.signing_key is not None

    def draft(self) -> World:
        """The World as far as it is known, to be looked at: with 0 or zeros for what is not.

        Raises:
            UsageError: the file says nothing about roots.
        """
        return World(
            type=WorldType.PLANET if self.type is None else self.type,
            id=self.id or 0,
            timestamp_ms=self.timestamp_ms or 0,
            updates_must_be_signed_by=(
                self.updates_must_be_signed_by or self.signing_public or bytes(PUBLIC_KEY_BYTES)
            ),
            roots=self._known_roots(),
            signature=UNSIGNED if self.signature is None else self.signature,
            dictionary=self.dictionary,
        )

    def warnings(self, now_ms: int, *, check_proof: bool = True) -> tuple[Note | Pitfall, ...]:
        """Everything about the file and the World in it that its owner should know.

        Args:
            now_ms: the time, milliseconds since 1970.
            check_proof: evaluate the proof of work of each root.
        """
        if self.roots is None:
            return self.notes
        unknown: set[PitfallCode] = set()
        if self.signature is None:
            unknown.add(PitfallCode.UNSIGNED)
        if self.timestamp_ms is None:
            unknown.add(PitfallCode.TIMESTAMP_ZERO)
        if self.id is None:
            unknown.add(PitfallCode.ID_ZERO)
        if any(note.code is NoteCode.ENDPOINT_MISREAD for note in self.notes):
            unknown |= _MISREAD  # each is noted already, with what was written
        found = warnings(self.draft(), now_ms, check_proof=check_proof)
        return (*self.notes, *(pitfall for pitfall in found if pitfall.code not in unknown))

    def sign(
        self, key: SigningKey, *, timestamp_ms: int, next_public: bytes | None = None
    ) -> World:
        """The World that this file describes, signed.

        Args:
            key: what signs.
            timestamp_ms: of the new World; the file's own is not used.
            next_public: the key for the revision after it; by default the one that the file
                names, else the one that signs.

        Raises:
            UsageError: the file does not say enough, or nodes could not read the World.
        """
        roots = self._known_roots()
        if self.type not in (WorldType.PLANET, WorldType.MOON):
            raise UsageError("the file does not say whether it is a planet or a moon: add --type")
        if not self.id:
            raise UsageError(
                "the file gives no id for the World (0 is none): add --id with its hex digits"
            )
        return World(
            type=self.type,
            id=self.id,
            timestamp_ms=timestamp_ms,
            updates_must_be_signed_by=next_public or self.updates_must_be_signed_by or key.public,
            roots=roots,
            dictionary=self.dictionary,
        ).sign(key)

    def signed(self, world: World) -> "Document":
        """This document with a signed World in the place of its own."""
        return replace(
            self,
            notes=tuple(note for note in self.notes if note.code not in OF_ITS_TOOL),
            type=world.type,
            id=world.id,
            timestamp_ms=world.timestamp_ms,
            updates_must_be_signed_by=world.updates_must_be_signed_by,
            roots=world.roots,
            signature=world.signature,
            dictionary=world.dictionary,
        )

    def _known_roots(self) -> tuple[Root, ...]:
        if self.roots is None:
            raise UsageError("the file is a signing key and says nothing about a World")
        return self.roots
