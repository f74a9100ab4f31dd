"""Readings of the journal: live progress, TensorBoard, summary. All can be deleted and made again."""
