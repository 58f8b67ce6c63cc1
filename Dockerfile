# patrol's command line, for the CronJob in deploy/kubernetes (docs/kubernetes.md).
#
# Both images are arguments, so that a build names them by digest:
#   image=docker.io/library/python:3.13-slim
#   image=$image@$(docker buildx imagetools inspect $image --format '{{.Manifest.Digest}}')
#   docker build --build-arg PYTHON_IMAGE=$image --build-arg RUNTIME_IMAGE=$image --tag patrol .
# RUNTIME_IMAGE may be any image with the same Python under the name `python`: nothing needs a shell in it.
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim
ARG RUNTIME_IMAGE=docker.io/library/python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /patrol
COPY requirements.txt ./
RUN ["python", "-m", "pip", "install", "--no-cache-dir", "--disable-pip-version-check", "--no-compile", "--only-binary", ":all:", "--require-hashes", "--target", "/patrol/libraries", "--requirement", "requirements.txt"]
COPY shared/ ./shared/
# Compiled here, because nothing can be written at run time; a file's hash is its own, whatever the copy makes of its time.
RUN ["python", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "/patrol"]
RUN ["chmod", "-R", "a+rX,go-w", "/patrol"]

FROM ${RUNTIME_IMAGE}
ENV PYTHONPATH=/patrol:/patrol/libraries \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /patrol
COPY --from=build /patrol /patrol
# A number, because Kubernetes cannot see that a name is not root.
USER 65532:65532
ENTRYPOINT ["python", "-m", "shared"]
CMD ["--help"]
