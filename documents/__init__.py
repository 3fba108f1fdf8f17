"""Files people have, as blocks with their places, and results written back into them."""

from documents.document import WRITABLE, Block, Document, framed_together, joined, rendered
from documents.process import read, read_file, write

__all__ = [
    "WRITABLE",
    "Block",
    "Document",
    "framed_together",
    "joined",
    "read",
    "read_file",
    "rendered",
    "write",
]
