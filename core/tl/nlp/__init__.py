"""Words and their ids: vocabularies, tokenizers, skip-gram batches, sampling, BLEU. No TensorFlow.

Text files are read and written as UTF-8.
"""

from core.tl.nlp.bleu import moses_multi_bleu
from core.tl.nlp.captions import SimpleVocabulary, Vocabulary, create_vocab, process_sentence
from core.tl.nlp.sampling import generate_skip_gram_batch, sample, sample_top
from core.tl.nlp.text import as_bytes, as_text
from core.tl.nlp.translation import (
    basic_tokenizer,
    create_vocabulary,
    data_to_token_ids,
    initialize_vocabulary,
    sentence_to_token_ids,
)
from core.tl.nlp.words import (
    build_reverse_dictionary,
    build_vocab,
    build_words_dataset,
    read_analogies_file,
    read_words,
    save_vocab,
    simple_read_words,
    word_ids_to_words,
    words_to_word_ids,
)

__all__ = [
    "SimpleVocabulary",
    "Vocabulary",
    "as_bytes",
    "as_text",
    "basic_tokenizer",
    "build_reverse_dictionary",
    "build_vocab",
    "build_words_dataset",
    "create_vocab",
    "create_vocabulary",
    "data_to_token_ids",
    "generate_skip_gram_batch",
    "initialize_vocabulary",
    "moses_multi_bleu",
    "process_sentence",
    "read_analogies_file",
    "read_words",
    "sample",
    "sample_top",
    "save_vocab",
    "sentence_to_token_ids",
    "simple_read_words",
    "word_ids_to_words",
    "words_to_word_ids",
]
