"""The networks: encoder, flow decoder, face generator, identity transfer; `networks` builds them."""
