"""The network of a trial: a pretrained backbone, where it is cut in two, the head, and what each
part costs in multiply-adds.
"""
