"""A model over HTTP: ``llama-gene serve``.

Read this folder in this order:

- `settings`: the limits, in one place;
- `schema`: what a request and an answer look like;
- `sequences`: what stands in a request -> examples of a task, or one clear refusal;
- `backend`: what answers: a model in this process;
- `predicting`, `writing`, `worker`: requests wait here, and one thread, which owns the model, answers them;
- `guard`: what is checked of every request before anything is read of it: size, key, rate;
- `app`, `completions`, `site`: the routes; `errors`: every refusal in one form; `telemetry`: what ``/metrics`` counts;
- `run`: start, and stop without losing an answer.
"""
