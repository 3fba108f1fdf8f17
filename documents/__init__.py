"""Files people have, as blocks with their places, and results written back into them."""

from documents.document import Block, Document, joined, rendered
from documents.process import read, read_file, write

__all__ = ["Block", "Document", "joined", "read", "read_file", "rendered", "write"]
