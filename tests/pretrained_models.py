"""A pretrained encoder to test with: two layers, 32 wide, of random weights, in a folder."""

from pathlib import Path

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES += ["a", "the", "and", "in", "of", "quark", "gluon", "cell", "divides", "serve", "volley", "."]
PIECES += ["science", "physics", "biology", "sport", "tennis", "mem", "##brane", "##s"]
POSITIONS = 16


def write_tiny_bert(folder: Path, *, n_pieces: int = len(PIECES)) -> str:
    """Write model and tokenizer as `save_pretrained` does, and return the folder's name."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    config = BertConfig(
        vocab_size=n_pieces,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=POSITIONS,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertModel(config)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(PIECES))
    BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    return str(folder)
