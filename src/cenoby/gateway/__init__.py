"""The gateway: MCP over HTTP and stdio. Transport and presentation only; every call goes through the pipeline."""
