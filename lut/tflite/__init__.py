"""TFLite files written directly with the flatbuffer schema: operations and whole networks."""
