"""AgentDojo's right calls and attack calls, replayed through the pipeline of a running colony. No model is needed."""
