#!/bin/sh
# The app registration by which patrol signs its technical users in: the delegated permissions vso.pats and
# vso.pats_manage of Azure DevOps, consent for the tenant, and what it proves itself with.
#   sh infra/entra/sign-in.sh PRINCIPAL_ID [DISPLAY_NAME]
#       it trusts patrol's managed identity (output AZURE_IDENTITY_PRINCIPAL_ID): nothing to keep, nothing expires
#   sh infra/entra/sign-in.sh --certificate CREDENTIALS_VAULT [DISPLAY_NAME]
#       a certificate of one year, made in the vault; its private key leaves it to patrol alone
#   sh infra/entra/sign-in.sh --secret CREDENTIALS_VAULT [DISPLAY_NAME]
#       a client secret of one year, which goes straight into the vault
# Needs `az login` as somebody who may register applications and consent for the tenant; for the last two, one who may
# write certificates or secrets to the vault. Run again, it changes the same application: a new certificate or secret.
set -eu

usage="usage: sh infra/entra/sign-in.sh PRINCIPAL_ID | --certificate VAULT | --secret VAULT [DISPLAY_NAME]"
case ${1:-} in
  --certificate | --secret)
    kind=$1 vault=${2:?$usage}
    name=${3:-patrol sign-in}
    ;;
  ????????-????-????-????-????????????)
    kind=--identity principal=$1
    name=${2:-patrol sign-in}
    ;;
  *)
    echo "$usage" >&2
    exit 2
    ;;
esac
here=$(dirname "$0")
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

tenant=$(az account show --query tenantId --output tsv)
case $kind in
  --identity)
    # Entra ID takes wrong values without a word and compares them letter by letter at the first sign-in.
    case $(az cloud show --query endpoints.activeDirectory --output tsv) in
      *.us | *.us/) host=login.microsoftonline.us audience=api://AzureADTokenExchangeUSGov ;;
      *.cn | *.cn/) host=login.partner.microsoftonline.cn audience=api://AzureADTokenExchangeChina ;;
      *) host=login.microsoftonline.com audience=api://AzureADTokenExchange ;;
    esac
    issuer=https://$host/$tenant/v2.0 trusted=patrol-$principal
    told="{\"name\": \"$trusted\", \"issuer\": \"$issuer\", \"subject\": \"$principal\", \"audiences\": [\"$audience\"]}"
    if [ -z "$(az ad app federated-credential list --id "$app" --query "[?name=='$trusted'].id | [0]" --output tsv)" ]; then
      az ad app federated-credential create --id "$app" --parameters "$told" --output none
    else
      az ad app federated-credential update --id "$app" --federated-credential-id "$trusted" --parameters "$told" --output none
    fi
    ;;
  --certificate)
    az keyvault certificate create --vault-name "$vault" --name patrol-sign-in --policy "@$here/certificate-policy.json" --output none
    # Only the public part: an older certificate stays good until the new one is known everywhere.
    az ad app credential reset --id "$app" --append --keyvault "$vault" --cert patrol-sign-in --output none
    ;;
  --secret)
    # Through a pipe: an argument would be seen by every process of the machine.
    az ad app credential reset --id "$app" --append --display-name patrol --years 1 --query password --output tsv |
      tr -d '\r\n' |
      az keyvault secret set --vault-name "$vault" --name patrol-client-secret --file /dev/stdin --encoding utf-8 --output none
    ;;
esac

echo "sign_in in pats.yaml:"
echo "  tenant: $tenant"
echo "  client_id: $app"
case $kind in
  --certificate) echo "  client_certificate_name: patrol-sign-in" ;;
  --secret) echo "  client_secret_name: patrol-client-secret" ;;
esac
