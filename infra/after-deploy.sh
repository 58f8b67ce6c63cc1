#!/bin/sh
# After new code: tell the platform which triggers there are, until it knows the timer and the queue. On Flex Consumption it
# sometimes does not find out by itself, and then no timer fires and no message is delivered (Azure/azure-functions-host
# issue 10169).
# Needs AZURE_RESOURCE_GROUP and AZURE_FUNCTION_NAME (azd sets both), and `az login`.
set -eu

app="/subscriptions/$(az account show --query id --output tsv)/resourceGroups/$AZURE_RESOURCE_GROUP"
app="$app/providers/Microsoft.Web/sites/$AZURE_FUNCTION_NAME"
tries=${TRIES:-20}

while [ "$tries" -gt 0 ]; do
  az rest --method post --url "$app/host/default/sync?api-version=2024-11-01" --output none || true
  known=$(az rest --method get --url "$app/functions?api-version=2024-11-01" --query "value[].properties.name" --output tsv) || known=
  if echo "$known" | grep -qx rotate_due && echo "$known" | grep -qx rotate_user; then
    echo "The platform knows the timer and the queue of $AZURE_FUNCTION_NAME."
    exit 0
  fi
  tries=$((tries - 1))
  sleep "${PAUSE:-15}"
done
echo "The platform does not know the timer and the queue of $AZURE_FUNCTION_NAME yet: look at the app's log stream, then run this again." >&2
exit 1
