# One image for every role; docker-compose.yml says which process is what.
FROM python:3.11-slim AS build
COPY . /src
RUN python -m venv /opt/psdist && /opt/psdist/bin/pip install --no-cache-dir '/src[demo]'

FROM python:3.11-slim
COPY --from=build /opt/psdist /opt/psdist
COPY examples /app/examples
# Numbers, not names: a minimal base has no useradd. A named volume takes over the owner of these folders.
RUN mkdir -p /keys /out /home/psdist && chown 10001:10001 /keys /out /home/psdist
ENV PATH=/opt/psdist/bin:$PATH HOME=/home/psdist PYTHONUNBUFFERED=1 \
    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
USER 10001:10001
WORKDIR /app
CMD ["psdist", "--help"]
