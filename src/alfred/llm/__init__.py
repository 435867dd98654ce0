"""One model call: what is asked, who answers, what it cost. `client.ask` is the way in."""
