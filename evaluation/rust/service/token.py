"""Where the judge and its clients find their token: never in an option or a file of a run."""

TOKEN_VARIABLE = "NANOCHAT_JUDGE_TOKEN"
