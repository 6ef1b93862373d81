#!/bin/sh
# client.sh: curl as a client (the form is in clients.py).
while read -r times url; do
  for _ in $(seq "$times"); do
    status=$(curl -s -o /dev/null -w '%{http_code}' --cacert "$CLIENT_CA" --tls-max "$CLIENT_TLS" \
      --connect-timeout "$CLIENT_PATIENCE" "$url")
    case $? in
      0) said=$status ;;
      6) said=resolve ;;
      7) said=refused ;;
      28) said=timeout ;;
      60) said=certificate ;;
      *) said=other:$? ;;
    esac
    echo "$url $said"
  done
done
