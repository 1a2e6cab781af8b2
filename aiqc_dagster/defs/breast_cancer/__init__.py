"""Is a tumour malignant? Torch, binary."""
