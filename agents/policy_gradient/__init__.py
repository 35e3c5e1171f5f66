"""Policy gradient: "Pong from Pixels" and REINFORCE."""
