# The lab in an image of its own: docker build --build-arg VERSION=v1 -t gotimeout .
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X gotimeout/internal/machine.version=$VERSION" -o /out/gotimeout ./cmd/gotimeout

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/gotimeout /bin/gotimeout
USER 65532:65532
# PORT makes the lab public and listen on all interfaces; /healthz says that it serves.
ENV PORT=8000
EXPOSE 8000
ENTRYPOINT ["/bin/gotimeout"]
CMD ["serve"]
