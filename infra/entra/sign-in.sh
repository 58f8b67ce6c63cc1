#!/bin/sh
# The app registration by which patrol signs its technical users in: the delegated permissions vso.pats and
# vso.pats_manage of Azure DevOps, consent for the tenant, and a secret that goes straight into the vault.
#   sh infra/entra/sign-in.sh CREDENTIALS_VAULT [DISPLAY_NAME]
# Needs `az login` as somebody who may register applications and consent for the tenant, and who may write secrets to the
# vault. Run again, it renews the secret of the same application.
set -eu

vault=${1:?name the vault of the credentials}
name=${2:-patrol sign-in}
devops=499b84ac-1321-427f-aa17-267ca6975798 # Azure DevOps, in every tenant

app=$(az ad app list --display-name "$name" --query "[0].appId" --output tsv)
if [ -z "$app" ]; then
  app=$(az ad app create --display-name "$name" --sign-in-audience AzureADMyOrg --query appId --output tsv)
  az ad sp create --id "$app" --output none
fi
for scope in vso.pats vso.pats_manage; do
  id=$(az ad sp show --id "$devops" --query "oauth2PermissionScopes[?value=='$scope'].id | [0]" --output tsv)
  [ -n "$id" ] || { echo "Azure DevOps offers no permission $scope in this tenant." >&2; exit 1; }
  az ad app permission add --id "$app" --api "$devops" --api-permissions "$id=Scope" --output none
done
az ad app permission admin-consent --id "$app"

# Through a pipe: an argument would be seen by every process of the machine.
az ad app credential reset --id "$app" --append --display-name patrol --years 1 --query password --output tsv |
  tr -d '\r\n' |
  az keyvault secret set --vault-name "$vault" --name patrol-client-secret --file /dev/stdin --encoding utf-8 --output none

echo "sign_in in pats.yaml:"
echo "  tenant: $(az account show --query tenantId --output tsv)"
echo "  client_id: $app"
echo "  client_secret_name: patrol-client-secret"
