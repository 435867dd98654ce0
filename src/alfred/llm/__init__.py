"""One model call: what is asked, who answers, what it cost. `client.ask` is the way in.

`catalog` names models and providers, `auto` finds one that can be used, `sizes` and `prices` say what fits and what it
costs; `contract` has the request, the answer and the error. `client` asks by a `stream` on a model of `opening` over the
connection of `wire`; `messages` and `failures` translate. `scripted` answers from `scenarios`, `cli_models` by a logged-in
program, in place of all that.
"""
