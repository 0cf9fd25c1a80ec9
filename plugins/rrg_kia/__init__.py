"""KIA: knowledge-guided implicit vision-language alignment (Yin et al.)."""
