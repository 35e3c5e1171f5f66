"""Losses between pictures and their descriptions: a joint embedding, and GAN-CLS's discriminator that also judges the match."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["cosine_hinge", "matching_discriminator"]


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
