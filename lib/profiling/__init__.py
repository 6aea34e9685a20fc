"""What stored series are like: intervals, gaps, resets, distribution, rhythm. Pure: frames in, values out."""
