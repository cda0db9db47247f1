"""The paper's tables again, beside the paper's own figures."""
