"""GANomaly: encode, decode, encode again; the distance of the two codes tells anomalies."""
