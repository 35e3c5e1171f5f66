"""Losses between pictures and their descriptions: a joint embedding, and GAN-CLS's discriminator that also judges the match."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["contrastive", "cosine_hinge", "matching_discriminator", "word_similarity"]


def cosine_hinge(
    x: tf.Tensor, v: tf.Tensor, false: tf.Tensor, margin: float = 0.2, v_wrong: tf.Tensor | None = None
) -> tf.Tensor:
    """Return the symmetric hinge E[max(0, m - s_ii + s_ij)] + E[max(0, m - s_ii + s_ji)], s_ij = cos(x_i, v_j).

    x, v [B, D] float32 are embeddings of pictures and of their captions; false [B, B] bool says whether caption j is false of
    picture i. With v_wrong [B, D], further captions that are false of one picture each, E[max(0, m - s_ii + cos(x_i, v_wrong_i))]
    is added. The means run over the false pairs (i, j): the first puts the matching pair i before a wrong caption, the
    second the matching pair j before a wrong picture. With one True a row it is the published form (Kiros et al., 2014,
    section 2.2; Reed et al., 2016a, eq. 2-4 in its structured form). 0 without a false pair.
    """
    tf.debugging.assert_shapes([(x, ("B", "D")), (v, ("B", "D")), (false, ("B", "B"))])
    x = tf.math.l2_normalize(x, axis=1)
    s = tf.matmul(x, tf.math.l2_normalize(v, axis=1), transpose_b=True)  # [B, B]
    matching = tf.linalg.diag_part(s)  # [B]
    wrong_caption = tf.nn.relu(margin - matching[:, None] + s)  # [B, B] of picture i
    wrong_picture = tf.nn.relu(margin - matching[None, :] + s)  # [B, B] of caption j
    weight = tf.cast(false, tf.float32)
    loss = tf.reduce_sum(weight * (wrong_caption + wrong_picture)) / tf.maximum(tf.reduce_sum(weight), 1.0)
    if v_wrong is not None:
        s_wrong = tf.reduce_sum(x * tf.math.l2_normalize(v_wrong, axis=1), axis=1)  # [B]
        loss += tf.reduce_mean(tf.nn.relu(margin - matching + s_wrong))
    return loss


def matching_discriminator(right: tf.Tensor, wrong: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Return -E[log D(x, t)] - (E[log(1 - D(x, t_wrong))] + E[log(1 - D(G(z, t), t))]) / 2 (Reed et al., 2016, Algorithm 1).

    right, wrong, fake [B] float32 are logits of real pictures with right and with wrong captions and of generated ones.
    """
    tf.debugging.assert_shapes([(right, ("B",)), (wrong, ("B",)), (fake, ("B",))])
    false = tf.reduce_mean(tf.nn.softplus(wrong)) + tf.reduce_mean(tf.nn.softplus(fake))
    return tf.reduce_mean(tf.nn.softplus(-right)) + 0.5 * false


def word_similarity(words: tf.Tensor, regions: tf.Tensor, ids: tf.Tensor, gamma: float = 5.0) -> tf.Tensor:
    """Return how well a picture shows the words of a caption, in [-1, 1]: [...] with all leading axes broadcast.

    words [..., T, D] and regions [..., R, D] are float32 vectors of each word and of each place, ids [..., T] int32 with 0 for
    padding. With e_i and r of length 1, word i looks at the places in shares a_i = softmax_r(gamma e_i r) and sees c_i = sum_r
    a_ir r; the similarity is the mean of cos(c_i, e_i) over the words (Xu et al., 2018, eq. 7 to 10; eq. 10 has a soft maximum
    over the words in place of the mean, for which one false word among many costs nothing).
    """
    e, r = tf.math.l2_normalize(words, axis=-1), tf.math.l2_normalize(regions, axis=-1)
    a = tf.nn.softmax(gamma * tf.matmul(e, r, transpose_b=True))  # [..., T, R]
    c = tf.math.l2_normalize(tf.matmul(a, r), axis=-1)  # [..., T, D]
    said = tf.cast(ids > 0, tf.float32)  # [..., T]
    return tf.reduce_sum(tf.reduce_sum(c * e, axis=-1) * said, axis=-1) / tf.maximum(tf.reduce_sum(said, axis=-1), 1.0)


def contrastive(s: tf.Tensor, false: tf.Tensor, wrong: tf.Tensor, gamma: float = 10.0) -> tf.Tensor:
    """Return -E[log P(caption i | picture i)] - E[log P(picture i | caption i)] (Xu et al., 2018, eq. 11 to 13).

    s [B, B] float32 is the similarity of picture i and caption j, false [B, B] bool whether caption j is false of picture i,
    wrong [B] the similarity of picture i and a further caption that is false of it. P is the softmax of gamma s over caption i
    and those that are false of picture i, and over picture i and those of which caption i is false.
    """
    tf.debugging.assert_shapes([(s, ("B", "B")), (false, ("B", "B")), (wrong, ("B",))])
    own = tf.linalg.diag_part(s)  # [B]
    chosen_from = tf.where(tf.linalg.set_diag(false, tf.ones_like(own, tf.bool)), gamma * s, -1e9)
    captions = tf.reduce_logsumexp(tf.concat([chosen_from, gamma * wrong[:, None]], axis=1), axis=1)  # [B]
    pictures = tf.reduce_logsumexp(chosen_from, axis=0)  # [B]
    return tf.reduce_mean(captions + pictures - 2 * gamma * own)
