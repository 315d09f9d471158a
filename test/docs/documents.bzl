# SPDX-License-Identifier: BSD-3-Clause
"""Examples of documents, as sources."""

def document_block(name, document, kind, number = 1):
    """Takes a fenced block out of a document, into a file of that name.

    Args:
      name: the file's name.
      document: the document's label.
      kind: the word behind the block's fence.
      number: which of the blocks of that kind, counted from 1.
    """
    native.genrule(
        name = name + "_block",
        srcs = [document],
        outs = [name],
        cmd = "python3 $(execpath //test/docs:blocks.py) $< %s %d > $@" % (kind, number),
        tools = ["//test/docs:blocks.py"],
    )
